# Attached late to a service of init, which polls a pipe that it wakes itself by. A child
# that has outlived its own parent still has both ends.
0ms     process 500 service
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 fork 502
4ms     501 exit
5ms     500 poll 3
2s      attach
silence until 9s
