# A service that init has started makes a pipe, which is lost, and a worker of it outlives
# who forked it. Both have init as their parent, as the workers of a dead process have, but
# the worker was seen to have its ends from the service.
0ms     process 500 service
1ms     lose 1
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 fork 502
4ms     502 read 3
5ms     501 exit
silence until 20s
