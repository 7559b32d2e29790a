# An event loop waits for what a helper says, for a while; the helper waits to be
# asked. Neither is stuck, since the loop goes on in time.
0ms     process 500 loop
1ms     500 pipe 3 4
2ms     500 pipe 5 6
3ms     500 fork 501
4ms     501 dup 3 0
5ms     501 dup 6 1
6ms     501 close 3
7ms     501 close 4
8ms     501 close 5
9ms     501 close 6
10ms    500 close 3
11ms    500 close 6
12ms    501 exec cat
13ms    501 read 0
14ms    500 select 5
silence until 5s
