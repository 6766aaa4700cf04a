#include <stdio.h>
int main(void) { puts("nclip"); return 0; }
