# The permissions that the services need in Consul: to register themselves and to discover each other.
#
#   consul acl policy create -name video-edge -rules @deploy/consul-policy.hcl
#   consul acl token create -policy-name video-edge

service "metadata" { policy = "write" }
service "cdnurl" { policy = "write" }
service "reporting" { policy = "write" }
service "play" { policy = "write" }
service "queue-listener" { policy = "write" }

# Health queries return node addresses, which requires read access to nodes.
node_prefix "" { policy = "read" }
