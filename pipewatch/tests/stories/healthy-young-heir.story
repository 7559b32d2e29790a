# The reader has waited for long when the creator forks an heir and closes its
# own end. The hang is as old as that.
0ms     process 500 master
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 close 4
4ms     501 read 3
20s     500 fork 502
20500ms 500 close 4
silence until 21500ms
expect by 21750ms: hang, leaked, fork, likely, exact, reader 501, holders 502
