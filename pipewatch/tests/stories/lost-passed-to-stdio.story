# What was passed is the output of whom it was passed to, which has duplicated it to
# there. That was lost.
0ms     process 500 sender
0ms     process 600 service
500ms   500 pipe 3 4
501ms   500 send 4
502ms   600 receive 9
503ms   lose 2
503ms   600 dup 9 1
504ms   600 close 9
505ms   500 close 4
506ms   500 read 3
silence until 20s
