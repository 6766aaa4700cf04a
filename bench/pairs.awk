# Pairs of runs, a line each: captions a second and seconds of processor time of the first and of the
# second, and the load. Medians of the pairs' ratios as one JSON object.
#   awk -v name=NAME -f bench/pairs.awk FILE
function middle(x, n,   i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && x[j] < x[j - 1]; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
    return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
}
{
    rate[NR] = $1 / $3; time[NR] = $2 / $4; first[NR] = $1; second[NR] = $3
    lines = lines (NR > 1 ? ", " : "") sprintf("[%.2f, %.2f, %.2f, %.2f, %s]", $1, $2, $3, $4, $5)
}
END {
    printf "{\"name\": \"%s\", \"rate\": %.4f, \"processor_time\": %.4f, ", name, middle(rate, NR),
        middle(time, NR)
    printf "\"captions_per_second\": [%.2f, %.2f], \"pairs\": [%s]}", middle(first, NR),
        middle(second, NR), lines
}
