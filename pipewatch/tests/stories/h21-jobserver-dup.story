# H21: the top make closes its write end and drains the jobserver; a daemon that
# a recipe started has duplicates.
0ms     process 500 make
1ms     500 pipe 3 4
2ms     500 write 4
3ms     500 fork 501
4ms     501 exec daemon
5ms     500 close 4
6ms     500 read 3
7ms     500 read 3
expect by 1257ms: hang, leaked, exec, exact, reader 500, holders 501, 501 holds 3r 4w
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, reader 500, freed by 501 exit
