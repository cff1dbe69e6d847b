"""Deployment: a SuperLink and its SuperNodes as real processes, with TLS and node keys, all of them Flower's programs.

certificates, node_keys     who is who
network                     what is found out before anything starts: ports, certificates, names
environment, processes      how Flower's programs are started, and stopped whatever happens
superlink, access           the server's program, and who may ask it for what
supernode, own_app          a client's program, and which app it consents to run
supervisor                  starts a client's program again, with patience
flower_commands, flower_app Flower's own commands: register, run, list; and the app that they submit
serving, joining            the whole way of a server, and of a client
demonstration               one server and three clients on this machine (`make federation`)
"""
