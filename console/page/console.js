import { createAssets } from './assets.js'
import { createCatalogue } from './catalogue.js'
import { createChart } from './chart.js'
import { createClock } from './clock.js'
import { createCounts } from './counts.js'
import { byId, formatCount, setText, whileVisible } from './dom.js'
import { createFlow } from './flow.js'
import { followLive } from './live.js'
import { createPlayer } from './player.js'
import { createTopList } from './top.js'
import { createUser } from './user.js'

/** The rate that is shown is the mean of so many seconds. */
const RATE_S = 5

/** How long a snapshot may take to come. */
const SNAPSHOT_MS = 300

const counts = createCounts()
const chart = createChart()
const clock = createClock()
const assets = createAssets({ onChange: render })
const flow = createFlow({ onAnswer: clock.hear, onChanges: () => void assets.read() })
const player = createPlayer({ user: createUser(), onPlayed: flow.playedWithout })
const catalogue = createCatalogue({ assets, onPlay: player.play })
const showTopAssets = createTopList(byId('top-assets', HTMLElement), assets.titleOf)
const showTopUsers = createTopList(byId('top-users', HTMLElement))

function render() {
  catalogue.render()
  showCounts()
}

function showCounts() {
  const { assets, users } = counts.top()
  showTopAssets(assets)
  showTopUsers(users)
  setText(byId('views', HTMLElement), formatCount(counts.views()))
}

function showSeconds() {
  const perSecond = counts.perSecond(clock.now())
  const rate = perSecond.slice(-RATE_S).reduce((sum, n) => sum + n, 0) / RATE_S
  chart.show(perSecond)
  flow.move(rate > 0)
  setText(byId('rate', HTMLElement), rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 }))
  setText(
    byId('chart-caption', HTMLElement),
    `Views a second in the last 5 minutes: at most ${formatCount(Math.max(...perSecond))}`,
  )
}

// The first snapshot has the catalogue read, so that no count is older; where none comes, it is read all the same.
const reading = setTimeout(assets.read, SNAPSHOT_MS)
whileVisible(flow.follow)
whileVisible(() => {
  const timer = setInterval(showSeconds, 1_000)
  return () => clearInterval(timer)
})
whileVisible(() =>
  followLive({
    onSnapshot(snapshot) {
      clearTimeout(reading)
      counts.start(snapshot)
      showCounts()
      showSeconds()
      void assets.renew()
    },
    onChanges(changes) {
      counts.change(changes)
      assets.count(changes.assets)
      catalogue.count(changes.assets)
      showCounts()
    },
    onConnection(isLive) {
      setText(byId('connection', HTMLElement), isLive ? 'Live' : 'Reconnecting …')
    },
  }),
)
