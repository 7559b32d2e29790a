# Attached late to a reader at a number of its own of what began before it: it has opened
# the pipe, or was given it.
0ms     process 400 sh
1ms     400 pipe 3 4
2ms     400 fork 501
2ms     501 dup 4 1
2ms     501 close 4
2ms     501 close 3
3ms     400 fork 500
3ms     500 close 4
4ms     400 exit
5ms     500 read 3
2s      attach
silence until 9s
