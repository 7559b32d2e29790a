# A wait told as healthy whose holders change is told again, still healthy.
pipewatch -v
0ms     process 500 master
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
2ms     501 close 4
4ms     501 read 3
expect by 1254ms: hang, waiting, reader 501, holders 500, 500 via created, 500 is parent
10s     500 fork 502
expect by 10250ms: update, waiting, reader 501, holders 502 500
20s     502 exit
expect by 20250ms: update, waiting, reader 501, holders 500
