// Includes itself twice, to a depth of two hundred.
// verdicts: CE
#if __INCLUDE_LEVEL__ < 190
#include __FILE__
#include __FILE__
#endif
#if __INCLUDE_LEVEL__ == 0
int main() {}
#endif
