# Attached late in a container: the first process there adopts what is left behind, and has
# started the reader. A sibling of the reader that is to write would look the same.
0ms     process 400 tini
0ms     400 subreaper
1ms     400 fork 500
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 4
3ms     501 close 3
4ms     500 close 4
5ms     501 fork 502
6ms     502 exec sleep
7ms     500 read 3
10ms    501 exit
2s      attach
silence until 9s
