# As subprocess does it: the command gets the write end as its stdout and may
# be silent as long as it likes. Another thread has forked in the window, which
# shows when the command ends.
0ms     process 100 agent
0ms     100 thread 101 runner
0ms     100 thread 102 server
1ms     101 pipe 3 4 cloexec
2ms     102 fork 105
3ms     101 fork 110
4ms     110 dup 4 1
4ms     110 close 3
4ms     110 exec command
5ms     101 close 4
6ms     101 read 3
silence until 20s
20s     110 exit
expect by 21250ms: hang, leaked, fork-race, certain, exact, reader 101, holders 105
30s     105 exit
expect by 30250ms: resolved, eof, freed by 105 exit
