# Only one process is watched, and its descendants; holders are found anywhere.
# A stranger holds the end of a pipe that was seen to be made by one of them, and
# inherited it from none: somebody passed it on.
pipewatch -v
0ms     process 500 server
0ms     process 600 stranger
0ms     attach 500
1ms     500 pipe 3 4
2ms     500 send 4
3ms     600 receive 9
4ms     500 close 4
5ms     500 read 3
expect by 1255ms: hang, leaked, passed, likely, inferred, reader 500, holders 600, 600 via passed, 600 is unrelated
9000ms  600 exit
expect by 9250ms: resolved, eof, freed by 600 exit
