/^    \(-., \)\{0,1\}--[a-z]/p
/^Aliases:/,/^$/p
/^Available Commands:/,/^$/p
/^Usage:/,$p
