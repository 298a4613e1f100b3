"""How good a map is: faithfulness, sanity, and several methods side by side."""
