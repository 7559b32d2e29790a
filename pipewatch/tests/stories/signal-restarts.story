# A signal interrupts the read, which begins anew: one wait, before and after
# it is reported.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
500ms   1 signal 500
950ms   1 signal 500
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  1 signal 500
3010ms  1 signal 500
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, freed by 501 exit
