# A healthy wait that turns into a leak when the creator closes: it is told
# again, as a hang. Then the heir goes as well.
pipewatch -v
0ms     process 500 master
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
4ms     501 read 3
expect by 1254ms: hang, waiting, reader 501, holders 502 500
10s     500 close 4
expect by 11250ms: hang, leaked, fork, likely, reader 501, holders 502
20s     502 exit
expect by 20250ms: resolved, eof, reader 501, freed by 502 exit
