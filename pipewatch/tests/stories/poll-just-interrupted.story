# A signal ends the poll shortly before it would be a hang, and nothing else tells
# that it is over.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 poll 3
950ms   501 signal 500 eintr
silence until 9s
