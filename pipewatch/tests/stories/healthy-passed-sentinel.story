# A service keeps an end that it was passed, and an event loop waits among others
# for it to be closed: its end is the message, as with an inhibitor lock.
0ms     process 500 service
0ms     process 600 client
1ms     500 pipe 3 4
2ms     500 send 4
3ms     500 close 4
4ms     600 receive 9
5ms     500 poll 3
silence until 5s
