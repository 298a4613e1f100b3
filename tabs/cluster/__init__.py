"""More than one machine: the page asks replicas of a Ray Serve application.

A front is the page as visitors reach it: their photos, limits, what they asked. Replicas have the
networks and work the answers out. A replica that dies loses nothing that a visitor brought: a map
is asked again on another one, slow work waits until the visitor wants to go on. Nothing here is
imported, and no Ray, unless SEEING_WHY_CLUSTER is set.
"""
