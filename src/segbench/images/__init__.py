"""Where images come from: folders of the user, and generated smears."""
