// The baseline for the benchmark: the same services with gin. As demos usually do, they use one NATS connection, pooled
// keep-alive HTTP, four parallel reads, and at-most-once publishing.
//
//	gin play|metadata|cdnurl|reporting|queue-listener PORT
//
// The URLs of the other services are in NATS_URL, METADATA_URL, CDNURL_URL and REPORTING_URL.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/nats-io/nats.go"
)

const subject = "gin.views"

type view struct {
	AssetID string `json:"assetId"`
	UserID  string `json:"userId"`
}

var client = &http.Client{
	Timeout:   2 * time.Second,
	Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256},
}

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery())
	switch os.Args[1] {
	case "metadata":
		router.GET("/content/asset/:asset", func(c *gin.Context) {
			c.JSON(200, gin.H{"id": c.Param("asset"), "title": "A title of usual length", "genre": "drama",
				"summary": "A summary of one or two sentences, about as long as the summary of a film usually is."})
		})
	case "cdnurl":
		router.GET("/url/asset/:asset", func(c *gin.Context) {
			c.JSON(200, gin.H{"id": c.Param("asset"), "url": "https://cdn.example.com/" + c.Param("asset") + ".mp4"})
		})
	case "reporting":
		reporting(router)
	case "play":
		play(router)
	case "queue-listener":
		forward()
	}
	fmt.Printf("{\"msg\":\"listening\",\"url\":\"http://127.0.0.1:%s\"}\n", os.Args[3])
	check(router.Run("127.0.0.1:" + os.Args[3]))
}

func reporting(router *gin.Engine) {
	var lock sync.RWMutex
	assets, users := map[string]int{}, map[string]int{}
	read := func(counts map[string]int, param string) gin.HandlerFunc {
		return func(c *gin.Context) {
			lock.RLock()
			views := counts[c.Param(param)]
			lock.RUnlock()
			c.JSON(200, gin.H{"id": c.Param(param), "views": views})
		}
	}
	router.GET("/events/asset/:asset", read(assets, "asset"))
	router.GET("/events/user/:user", read(users, "user"))
	router.POST("/events/asset/:asset/user/:user", func(c *gin.Context) {
		lock.Lock()
		assets[c.Param("asset")]++
		users[c.Param("user")]++
		lock.Unlock()
		c.JSON(200, gin.H{"status": "ok"})
	})
}

func play(router *gin.Engine) {
	broker, err := nats.Connect(os.Getenv("NATS_URL"))
	check(err)
	router.POST("/play/asset/:asset/user/:user", func(c *gin.Context) {
		asset, user := c.Param("asset"), c.Param("user")
		var metadata struct{ Title, Genre, Summary string }
		var address struct{ URL string }
		var assetViews, userViews struct{ Views int }
		var reads sync.WaitGroup
		failed := make(chan error, 4)
		get := func(url string, into any) {
			defer reads.Done()
			if err := getJSON(url, into); err != nil {
				failed <- err
			}
		}
		reads.Add(4)
		go get(os.Getenv("METADATA_URL")+"/content/asset/"+asset, &metadata)
		go get(os.Getenv("CDNURL_URL")+"/url/asset/"+asset, &address)
		go get(os.Getenv("REPORTING_URL")+"/events/asset/"+asset, &assetViews)
		go get(os.Getenv("REPORTING_URL")+"/events/user/"+user, &userViews)
		reads.Wait()
		if len(failed) > 0 {
			c.JSON(503, gin.H{"status": (<-failed).Error()})
			return
		}
		message, _ := json.Marshal(view{asset, user})
		if err := broker.Publish(subject, message); err != nil {
			c.JSON(503, gin.H{"status": err.Error()})
			return
		}
		c.JSON(200, gin.H{"id": asset, "title": metadata.Title, "genre": metadata.Genre, "summary": metadata.Summary,
			"url": address.URL, "userviews": userViews.Views + 1, "assetviews": assetViews.Views + 1})
	})
}

func forward() {
	broker, err := nats.Connect(os.Getenv("NATS_URL"))
	check(err)
	_, err = broker.Subscribe(subject, func(message *nats.Msg) {
		var played view
		if json.Unmarshal(message.Data, &played) != nil {
			return
		}
		url := fmt.Sprintf("%s/events/asset/%s/user/%s", os.Getenv("REPORTING_URL"), played.AssetID, played.UserID)
		if response, err := client.Post(url, "application/json", bytes.NewReader(nil)); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	})
	check(err)
}

func getJSON(url string, into any) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	err = json.NewDecoder(response.Body).Decode(into)
	// The client reuses a connection only if the body was read to the end.
	_, _ = io.Copy(io.Discard, response.Body)
	return err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
