# H3: a program started while the pipe was open has the write end at number 63.
0ms     process 500 server
1ms     500 pipe 3 4 cloexec
2ms     500 dup 4 63
3ms     500 fork 501
4ms     501 exec sleep
5ms     500 close 4
5ms     500 close 63
6ms     500 read 3
expect by 1256ms: hang, leaked, exec, likely, exact, reader 500, holders 501, 501 holds 63w, 501 via exec, timeline pipe@500 dup@500 fork@500 exec@501 close@500 close@500 read@500, 501 no heir
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, reader 500, freed by 501 exit
