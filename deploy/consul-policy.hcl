# What the services may do in Consul, and no more: register themselves, and find each other.
#
#   consul acl policy create -name video-edge -rules @deploy/consul-policy.hcl
#   consul acl token create -policy-name video-edge

service "metadata" { policy = "write" }
service "cdnurl" { policy = "write" }
service "reporting" { policy = "write" }
service "play" { policy = "write" }
service "queue-listener" { policy = "write" }

# The nodes that instances are on: their addresses are part of the answer.
node_prefix "" { policy = "read" }
