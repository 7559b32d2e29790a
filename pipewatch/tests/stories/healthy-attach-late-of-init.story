# Attached late to the two ends of a pipeline whose shell is gone: one reads its standard
# input, the other has yet to write.
0ms     process 500 sh
1ms     500 pipe 3 4
2ms     500 fork 501
2ms     501 dup 3 0
2ms     501 close 3
2ms     501 close 4
3ms     500 fork 502
3ms     502 dup 4 1
3ms     502 close 4
3ms     502 close 3
4ms     500 exit
5ms     501 read 0
2s      attach
silence until 9s
