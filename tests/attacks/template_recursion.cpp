// Makes the compiler instantiate a billion templates.
// verdicts: CE
template <int Depth, int Path>
struct Tree {
  static constexpr int value = Tree<Depth - 1, 2 * Path>::value + Tree<Depth - 1, 2 * Path + 1>::value;
};
template <int Path>
struct Tree<0, Path> {
  static constexpr int value = 1;
};

int main() { return Tree<30, 0>::value; }
