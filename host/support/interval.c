/* Wilson's score interval. */
#include "nclip/support/interval.h"

#include <math.h>

void nc_interval_wilson(uint64_t count, uint64_t n, double *low, double *high)
{
    const double z = 1.959963984540054; /* the normal distribution's 0.975 quantile */
    *low = 0;
    *high = 1;
    if (!n)
        return;
    double size = (double)n, share = (double)count / size;
    double centre = share + z * z / (2 * size);
    double half = z * sqrt(share * (1 - share) / size + z * z / (4 * size * size));
    double scale = 1 + z * z / size;
    if (count)
        *low = (centre - half) / scale;
    if (count < n)
        *high = (centre + half) / scale;
}
