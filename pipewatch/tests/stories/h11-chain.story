# H11: x=$( y=$(sleep 30 & echo a); echo $y ). The outer shell waits for the
# inner one, and that for sleep: one hang, not two.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     500 read 3
6ms     501 pipe 3 4
7ms     501 fork 502
8ms     502 dup 4 1
8ms     502 close 3
8ms     502 close 4
9ms     501 close 4
10ms    502 fork 503
11ms    503 exec sleep
12ms    502 write 1
13ms    502 exit
14ms    501 read 3
15ms    501 read 3
expect by 1265ms: hang, orphaned, fork, likely, exact, reader 501, holders 503
silence until 30s
30s     503 exit
expect by 30250ms: resolved, eof, reader 501, freed by 503 exit
