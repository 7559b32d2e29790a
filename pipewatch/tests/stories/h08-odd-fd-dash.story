# H8 in dash: x=$(exec 9>&1; sleep 30 >/dev/null 2>&1 &). The child of the background
# command keeps a copy of its output while it redirects that; it ends with the exec.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     501 dup 1 9
6ms     501 fork 502
7ms     502 dup 1 11
8ms     502 close 1
8ms     502 cloexec 11 on
9ms     502 exec sleep
10ms    501 exit
11ms    500 read 3
expect by 1261ms: hang, orphaned, fork, certain, exact, reader 500, holders 502, 502 holds 9w, 502 no heir
silence until 30s
30s     502 exit
expect by 30250ms: resolved, eof, reader 500, freed by 502 exit
