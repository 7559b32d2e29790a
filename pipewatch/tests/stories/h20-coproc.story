# H20: coproc K { cat; }; a subshell that executes nothing has a copy of the
# shell's end. The shell closes its own and waits for cat, which reads on.
0ms     process 500 bash
1ms     500 pipe 62 63
2ms     500 fork 501
3ms     501 dup 62 0
3ms     501 close 62
3ms     501 close 63
3ms     501 exec cat
4ms     500 close 62
4ms     500 dup 63 60 cloexec
4ms     500 close 63
5ms     501 read 0
6ms     500 fork 502
7ms     500 close 60
expect by 1257ms: hang, leaked, fork, likely, exact, reader 501, fd 0, holders 502, 502 holds 60w
30s     502 exit
expect by 30250ms: resolved, eof, freed by 502 exit
