"""A directory that `export` wrote -> OWNER/NAME of the hub, with the login of `hf auth login`."""

from r1jax.exceptions import UserError

# Of an earlier export there: an index of weights that are no more, or more files of them, would be read with the new.
_REPLACED = ['model.safetensors', 'model-?????-of-?????.safetensors', 'model.safetensors.index.json',
             'chat_template.jinja']


def ready(repository: str, *, private: bool = True, option: str = '--push') -> None:
  """What is looked at before anything is written.

  Raises:
    UserError: no such name, no huggingface_hub, no login; a public repository that was to be private.
  """
  hub = named(repository, option)
  try:
    hub.HfApi().whoami()
  except Exception as e:  # pylint: disable=broad-except  many kinds, by version
    raise UserError(f'{option}={repository}: the hub knows nobody here ({_short(e)}): `hf auth login` first, or '
                    'HF_TOKEN=TOKEN') from e
  _stop_if_public(hub.HfApi(), repository, private, option)


def upload(directory: str, repository: str, *, private: bool = True, option: str = '--push') -> str:
  """Makes the repository where there is none, takes the place of an earlier export there, and returns its address.

  Raises:
    UserError: no such name, no huggingface_hub, a public repository that was to be private, or the hub refuses.
  """
  hub = named(repository, option)
  try:
    api = hub.HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    _stop_if_public(api, repository, private, option)
    api.upload_folder(repo_id=repository, folder_path=directory, delete_patterns=_REPLACED)
  except UserError:
    raise
  except Exception as e:  # pylint: disable=broad-except
    raise UserError(f'{repository} cannot be uploaded ({_short(e)}): look whether `hf auth whoami` names you and may '
                    'write there, or export to a directory and upload that') from e
  return f'https://huggingface.co/{repository}'


def _stop_if_public(api, repository: str, private: bool, option: str) -> None:
  try:
    public = api.model_info(repository).private is False
  except Exception:  # pylint: disable=broad-except  it is not there yet; who may write but not look is not stopped
    return
  if private and public:
    way = '--public' if option == '--push' else 'private=False'
    raise UserError(f'{repository} is there and public: say {way}, or give another name')


def named(repository: str, option: str):
  """The package, for a name that can be one."""
  if repository.count('/') != 1 or not all(repository.split('/')):
    raise UserError(f'{option}={repository}: wants OWNER/NAME')
  try:
    import huggingface_hub
  except ImportError as e:
    raise UserError(f"{option}={repository} needs huggingface_hub: pip install 'r1jax[hub]'") from e
  return huggingface_hub


def _short(e: Exception) -> str:
  return f'{type(e).__name__}: {" ".join(str(e).split())[:200]}'
