"""A main program around a function written in C++:
arguments from standard input, results to file descriptor 3, as JSON.

Types are the function's own, found by the compiler: numbers, bool, char, string, and vector, pair, set, map of them.
"""

import re

_HEAD = '#include <bits/stdc++.h>\nusing namespace std;\n#line 1 "solution.cpp"\n'

_DRIVER = r'''
#line 1 "driver.cpp"
namespace r1jax_driver {
struct In {
  string text; size_t at = 0;
  void space() { while (at < text.size() && isspace((unsigned char)text[at])) at++; }
  bool next(char c) { space(); if (at < text.size() && text[at] == c) { at++; return true; } return false; }
  void need(char c) { if (!next(c)) { fprintf(stderr, "arguments do not fit the function: '%c' wanted at %zu\n", c, at); exit(1); } }
};
template <class T> struct Json;
template <> struct Json<string> { static string read(In& in); static void write(string& out, const string& v); };
template <class T> T read(In& in) { return Json<T>::read(in); }
template <class T> void write(string& out, const T& v) { Json<T>::write(out, v); }
template <class T> requires is_arithmetic_v<T> struct Json<T> {
  static T read(In& in) {
    in.space();
    if (in.text.compare(in.at, 4, "true") == 0) { in.at += 4; return T(1); }
    if (in.text.compare(in.at, 5, "false") == 0) { in.at += 5; return T(0); }
    if constexpr (is_same_v<T, char>) { in.need('"'); string s; while (in.text[in.at] != '"') s += in.text[in.at++]; in.at++; return s.empty() ? 0 : s.back(); }
    size_t begin = in.at;
    while (in.at < in.text.size() && (isdigit((unsigned char)in.text[in.at]) || strchr("+-.eE", in.text[in.at]))) in.at++;
    string s = in.text.substr(begin, in.at - begin);
    if constexpr (is_floating_point_v<T>) return T(strtold(s.c_str(), nullptr));
    else if constexpr (is_signed_v<T>) return T(strtoll(s.c_str(), nullptr, 10));
    else return T(strtoull(s.c_str(), nullptr, 10));
  }
  static void write(string& out, T v) {
    char b[64];
    if constexpr (is_same_v<T, bool>) out += v ? "true" : "false";
    else if constexpr (is_same_v<T, char>) { Json<string>::write(out, string(1, v)); }
    else if constexpr (is_floating_point_v<T>) {
      if (isnan(v)) out += "NaN"; else if (isinf(v)) out += v > 0 ? "Infinity" : "-Infinity";
      else { snprintf(b, sizeof b, "%.17Lg", (long double)v); out += b; if (!strpbrk(b, ".e")) out += ".0"; }
    } else out += to_string(v);
  }
};
inline string Json<string>::read(In& in) {
    in.need('"'); string s;
    while (in.at < in.text.size() && in.text[in.at] != '"') {
      char c = in.text[in.at++];
      if (c != '\\') { s += c; continue; }
      c = in.text[in.at++];
      if (c == 'n') s += '\n'; else if (c == 't') s += '\t'; else if (c == 'r') s += '\r'; else if (c == 'b') s += '\b';
      else if (c == 'f') s += '\f';
      else if (c == 'u') {
        unsigned u = stoul(in.text.substr(in.at, 4), nullptr, 16); in.at += 4;
        if (u >= 0xD800 && u < 0xDC00 && in.text.compare(in.at, 2, "\\u") == 0) {
          unsigned low = stoul(in.text.substr(in.at + 2, 4), nullptr, 16); in.at += 6; u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
        }
        if (u < 0x80) s += char(u);
        else if (u < 0x800) { s += char(0xC0 | u >> 6); s += char(0x80 | (u & 63)); }
        else if (u < 0x10000) { s += char(0xE0 | u >> 12); s += char(0x80 | (u >> 6 & 63)); s += char(0x80 | (u & 63)); }
        else { s += char(0xF0 | u >> 18); s += char(0x80 | (u >> 12 & 63)); s += char(0x80 | (u >> 6 & 63)); s += char(0x80 | (u & 63)); }
      } else s += c;
    }
    in.need('"'); return s;
  }
inline void Json<string>::write(string& out, const string& v) {
    out += '"';
    for (unsigned char c : v) { char b[8]; if (c == '"' || c == '\\') { out += '\\'; out += c; } else if (c < 32) { snprintf(b, sizeof b, "\\u%04x", c); out += b; } else out += c; }
    out += '"';
  }
template <class T> concept Grows = requires(T t) { typename T::value_type; t.insert(t.end(), declval<typename T::value_type>()); } && !is_same_v<T, string>;
template <class A, class B> struct Json<pair<A, B>> {
  static pair<A, B> read(In& in) { in.need('['); auto a = r1jax_driver::read<A>(in); in.need(','); auto b = r1jax_driver::read<B>(in); in.need(']'); return {a, b}; }
  static void write(string& out, const pair<A, B>& v) { out += '['; r1jax_driver::write(out, v.first); out += ','; r1jax_driver::write(out, v.second); out += ']'; }
};
template <class T> struct Plain { using type = remove_cv_t<T>; };
template <class A, class B> struct Plain<pair<const A, B>> { using type = pair<A, B>; };  // of a map
template <Grows T> struct Json<T> {
  using Key = typename Plain<typename T::value_type>::type;
  static T read(In& in) {
    T v; in.need('[');
    if (in.next(']')) return v;
    do v.insert(v.end(), r1jax_driver::read<Key>(in)); while (in.next(','));
    in.need(']'); return v;
  }
  static void write(string& out, const T& v) {
    out += '['; bool first = true;
    for (const auto& x : v) { if (!first) out += ','; first = false; r1jax_driver::write<Key>(out, Key(x)); }
    out += ']';
  }
};
template <class R, class F, class... A> void invoke(In& in, string& out, int inplace, F f) {
  in.need('[');
  bool first = true;
  auto next = [&]<class T>() { if (!first) in.need(','); first = false; return read<T>(in); };
  tuple<remove_cvref_t<A>...> args{next.template operator()<remove_cvref_t<A>>()...};
  in.need(']');
  if constexpr (is_void_v<R>) { apply(f, args); if (inplace < 0) out += "null"; }
  else { auto r = apply(f, args); if (inplace < 0) write<remove_cvref_t<R>>(out, r); }
  int i = 0;
  if (inplace >= 0) apply([&](auto&... a) { ((i++ == inplace ? write(out, a) : void()), ...); }, args);
}
template <class R, class... A> void call(In& in, string& out, int inplace, R (*f)(A...)) {
  invoke<R, decltype(f), A...>(in, out, inplace, f);
}
template <class C, class R, class... A> void call(In& in, string& out, int inplace, R (C::*f)(A...)) {
  C object; auto g = [&](auto&... a) -> R { return (object.*f)(a...); };
  invoke<R, decltype(g), A...>(in, out, inplace, g);
}
template <class C, class R, class... A> void call(In& in, string& out, int inplace, R (C::*f)(A...) const) {
  C object; auto g = [&](auto&... a) -> R { return (object.*f)(a...); };
  invoke<R, decltype(g), A...>(in, out, inplace, g);
}
}  // namespace r1jax_driver
int main() {
  r1jax_driver::In in{string(istreambuf_iterator<char>(cin), {})};
  string out = "[";
  int inplace = r1jax_driver::read<int>(in);
  in.need('[');
  if (!in.next(']')) {
    bool first = true;
    do { if (!first) out += ','; first = false; r1jax_driver::call(in, out, inplace, TARGET); } while (in.next(','));
  }
  out += "]";
  fflush(stdout);
  for (size_t at = 0; at < out.size();) { ssize_t n = ::write(3, out.data() + at, out.size() - at); if (n <= 0) return 1; at += n; }
  return 0;
}
'''


_LIST = """
struct ListNode { int val; ListNode *next; ListNode() : val(0), next(nullptr) {} ListNode(int x) : val(x), next(nullptr) {}
  ListNode(int x, ListNode *next) : val(x), next(next) {} };
"""
_TREE = """
struct TreeNode { int val; TreeNode *left, *right; TreeNode() : val(0), left(nullptr), right(nullptr) {}
  TreeNode(int x) : val(x), left(nullptr), right(nullptr) {}
  TreeNode(int x, TreeNode *left, TreeNode *right) : val(x), left(left), right(right) {} };
"""
# As values.py reads and writes them: a list, and a tree level by level, with null where no child is.
_LIST_JSON = r"""
template <> struct Json<ListNode*> {
  static ListNode* read(In& in) {
    ListNode *head = nullptr, **end = &head;
    for (int v : r1jax_driver::read<vector<int>>(in)) { *end = new ListNode(v); end = &(*end)->next; }
    return head;
  }
  static void write(string& out, ListNode* const& head) {
    vector<int> values;
    for (ListNode* at = head; at && values.size() < 1000000; at = at->next) values.push_back(at->val);
    r1jax_driver::write(out, values);
  }
};
"""
_TREE_JSON = r"""
template <> struct Json<TreeNode*> {
  static TreeNode* read(In& in) {
    vector<TreeNode*> made; in.need('[');
    if (in.next(']')) return nullptr;
    do {
      in.space();
      if (in.text.compare(in.at, 4, "null") == 0) { in.at += 4; made.push_back(nullptr); }
      else made.push_back(new TreeNode(r1jax_driver::read<int>(in)));
    } while (in.next(','));
    in.need(']');
    size_t next = 1;
    for (TreeNode* node : made) if (node) {
      node->left = next < made.size() ? made[next] : nullptr; next++;
      node->right = next < made.size() ? made[next] : nullptr; next++;
    }
    return made[0];
  }
  static void write(string& out, TreeNode* const& root) {
    vector<TreeNode*> all{root};
    for (size_t i = 0; i < all.size() && all.size() < 1000000; i++) if (all[i]) { all.push_back(all[i]->left); all.push_back(all[i]->right); }
    while (!all.empty() && !all.back()) all.pop_back();
    out += '[';
    for (size_t i = 0; i < all.size(); i++) { if (i) out += ','; out += all[i] ? to_string(all[i]->val) : "null"; }
    out += ']';
  }
};
"""


def cpp(code: str, call: str) -> str:
  """A whole program that calls `call`, a free function or a method of the class Solution."""
  call = call.rpartition('.')[2]
  if not re.fullmatch(r'[A-Za-z_]\w*', call):
    raise ValueError(f'{call!r} is no name of a function')
  target = f'&Solution::{call}' if re.search(r'\b(?:class|struct)\s+Solution\b', code) else f'&{call}'
  bare = re.sub(r'//[^\n]*|/\*.*?\*/', '', code, flags=re.S)  # LeetCode shows the nodes in a comment
  given, json_of = '', ''
  for name, struct, json_ in (('ListNode', _LIST, _LIST_JSON), ('TreeNode', _TREE, _TREE_JSON)):
    if re.search(rf'\b{name}\b', bare):
      json_of += json_
      if not re.search(rf'\b(?:struct|class)\s+{name}\s*\{{', bare):
        given += struct
  head = _HEAD.replace('using', '#include <unistd.h>\nusing', 1).replace('#line', f'{given}#line', 1)
  invoke = 'template <class R, class F, class... A> void invoke'
  driver = _DRIVER.replace(invoke, json_of + invoke, 1)
  return head + code + driver.replace('TARGET', target)
