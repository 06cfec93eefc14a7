# Draws from the list of a spot check as "tipbox sample" does. To draw 5% again:
#
#	tipbox sample --month 2026-10 --list > list.txt
#	python3 draw.py list.txt 5
import hashlib
import math
import sys
from fractions import Fraction

left = [line.split(" ") for line in open(sys.argv[1])]
seed = hashlib.sha256("".join(" ".join(line[:3]) + "\n" for line in left).encode()).digest()
for i in range(math.ceil(Fraction(sys.argv[2]) / 100 * len(left))):
    draw = hashlib.sha256(seed + i.to_bytes(8, "big")).digest()
    at = int.from_bytes(draw, "big") % sum(int(line[3]) for line in left)
    n = 0
    while at >= int(left[n][3]):
        at -= int(left[n][3])
        n += 1
    print(left.pop(n)[0])
