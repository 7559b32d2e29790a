# pipewatch -- COMMAND: pipewatch itself is watched for the moment of the fork,
# and is no part of the story. When the command has ended there is nothing left.
0ms     process 2 pipewatch
1ms     watch 2
1ms     attach
2ms     2 fork 100
3ms     unwatch 2
4ms     100 exec server
5ms     100 pipe 3 4
6ms     100 fork 101
7ms     100 close 4
8ms     100 read 3
expect by 1258ms: hang, leaked, fork, likely, exact, reader 100, holders 101
5000ms  2 kill 101
expect by 5250ms: resolved, eof, reader 100, freed by 101 exit
6000ms  100 exit
6100ms  process 600 other
expect idle
