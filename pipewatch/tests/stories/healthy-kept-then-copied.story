# A child clears close-on-exec on the end that its program is to have, and copies it for a
# use of its own that ends with the exec.
0ms     process 500 launcher
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 cloexec 4 off
4ms     501 dup 4 10 cloexec
5ms     501 exec writer
6ms     500 close 4
7ms     500 read 3
silence until 30s
30s     501 exit
