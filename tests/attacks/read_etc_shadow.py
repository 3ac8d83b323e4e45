# Reads files that only root may read, and keys and histories of the users.
# verdicts: WA
import glob

private = ['/etc/shadow', '/etc/gshadow', '/etc/sudoers', '/etc/machine-id', '/etc/krb5.keytab']
for home in ('/root', '/home/*'):
  for name in ('.ssh/*', '.netrc', '.bash_history', '.gitconfig', '.aws/credentials', '.config/gcloud/*', '.cache/huggingface/token'):
    private += glob.glob(f'{home}/{name}')
got = []
for path in private:
  try:
    with open(path, 'rb') as f:
      got.append(f.read(1))
  except OSError:
    pass
print('PWNED' if any(got) else 'refused')
