# What `times` of a shell says of the run before it, and what the run said of itself: captions a second, and
# the processor's seconds.
#   (nclip-bench train --json && times) | awk -f bench/rate.awk
BEGIN { FS = "\"captions_per_second\": *" }
/captions_per_second/ { rate = $2 + 0 }
/m.*s .*m.*s/ { split($0, t, /[ms ]+/); seconds = 60 * (t[1] + t[3]) + t[2] + t[4] }
END { if (!rate) exit 1; print rate, seconds }
