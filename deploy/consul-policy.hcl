# The permissions that one service needs in Consul: to register itself, and to discover the others. SERVICE stands for
# the service's name, so that no service can register as another one, and receive its calls and the write token.
#
#   for service in metadata cdnurl reporting play queue-listener; do
#     sed "s/SERVICE/$service/" deploy/consul-policy.hcl | consul acl policy create -name "video-edge-$service" -rules -
#     consul acl token create -policy-name "video-edge-$service"
#   done
#
# Embedded mode registers all services, so its token has all of these policies.

service "metadata" { policy = "read" }
service "cdnurl" { policy = "read" }
service "reporting" { policy = "read" }
service "play" { policy = "read" }
service "queue-listener" { policy = "read" }

service "SERVICE" { policy = "write" }

# Health queries return node addresses, so they require read access to nodes.
node_prefix "" { policy = "read" }
