// Makes the compiler evaluate a function a million million times, never twice with the same arguments.
// verdicts: CE
constexpr unsigned long tree(int depth, unsigned long path) {
  return depth ? tree(depth - 1, 2 * path) + tree(depth - 1, 2 * path + 1) : path;
}
constexpr unsigned long value = tree(40, 0);

int main() { return value; }
