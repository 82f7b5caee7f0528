#include <stdio.h>

#include "greet.h"

void greet(const char *whom)
{
    printf("%s, %s!\n", GREETING, whom);
}
