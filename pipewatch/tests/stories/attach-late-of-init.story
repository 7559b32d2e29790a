# Attached late to a shell that a service manager has started, or whose own parent is gone:
# what a process that its command has left behind keeps open is standard output.
0ms     process 500 sh
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 4
3ms     501 close 3
4ms     500 close 4
5ms     501 fork 502
6ms     502 exec sleep
7ms     500 read 3
10ms    501 exit
2s      attach
expect by 3250ms: hang, orphaned, likely, inferred, reader 500, holders 502, 502 holds 1w
silence until 9s
