"""Classes of one's own in a configuration of Keras, which may be called as Keras' are."""

from typing import Any

_PACKAGES = ("keras", "keras_core", "tf_keras", "tensorflow")


def as_registered(config: Any) -> Any:
    """A stored configuration with classes of one's own by the names that they are registered under.

    They may have the names of Keras' and other steps. Their groups in a file of Keras 3 are named by the class.
    """
    if isinstance(config, list):
        return [as_registered(each) for each in config]
    if not isinstance(config, dict):
        return config
    found = {key: as_registered(value) for key, value in config.items()}
    name, package, registered = (config.get(key) for key in ("class_name", "module", "registered_name"))
    is_keras = isinstance(package, str) and package.partition(".")[0] in _PACKAGES
    if isinstance(name, str) and isinstance(registered, str) and registered and not is_keras:
        found |= {
            "class_name": registered if ">" in registered else f"{package or 'own'}>{name}",
            "group": name,
        }
    return found
