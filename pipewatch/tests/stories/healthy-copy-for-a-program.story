# A launcher ends; what it started was given a copy of the output, which is a sign that
# outlives the exec though the number that was copied does not.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 4
4ms     500 close 4
5ms     501 fork 502
6ms     502 dup 1 5
7ms     502 close 1
8ms     502 exec writer
9ms     501 exit
10ms    500 read 3
silence until 30s
30s     502 exit
