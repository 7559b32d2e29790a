# H5 (a): the only write end is in the reader's own, only thread.
# To come: self-held.
0ms     process 500 reader
1ms     500 pipe 3 4
2ms     500 read 3
silence until 20s
