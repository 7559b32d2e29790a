# H8: x=$( (exec 9>&1; sleep 30 >/dev/null 2>&1 &); echo hi ). Stdout was
# redirected, a duplicate at number 9 was not.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     501 fork 502
6ms     502 dup 1 9
7ms     502 fork 503
8ms     503 overwrite 1
9ms     503 exec sleep
10ms    502 exit
11ms    501 write 1
12ms    501 exit
13ms    500 read 3
14ms    500 read 3
expect by 1264ms: hang, orphaned, fork, certain, exact, reader 500, holders 503, 503 holds 9w
silence until 30s
30s     503 exit
expect by 30250ms: resolved, eof, reader 500, freed by 503 exit
