#ifndef GREET_H
#define GREET_H

/* Prints one line to standard output. */
void greet(const char *whom);

#endif
