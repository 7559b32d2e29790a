# H7: run(["sh", "-c", "sleep 30 & echo ok"], stdout=PIPE). The shell has ended,
# its background child, now a child of init, has the pipe as stdout.
0ms     process 500 runner
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 exec sh
4ms     500 close 4
5ms     501 fork 502
6ms     502 exec sleep
7ms     501 write 1
8ms     500 read 3
9ms     500 read 3
10ms    501 exit
expect by 1260ms: hang, orphaned, fork, likely, exact, reader 500, holders 502, 502 holds 1w, 502 is descendant, timeline pipe@500 fork@500 dup@501 exec@501 close@500 fork@501 exec@502 read@500 exit@501
silence until 30s
30s     502 exit
expect by 30250ms: resolved, eof, reader 500, freed by 502 exit
