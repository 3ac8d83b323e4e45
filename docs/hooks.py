"""mkdocs: links from docs/ to files of the repository, which are no pages of the site, lead to the repository."""

import re


def on_page_markdown(markdown, *, page, config, files):
  del page, files
  return re.sub(r'\]\(\.\./([^)\s]+)\)', rf']({config.repo_url.rstrip("/")}/blob/main/\1)', markdown)
