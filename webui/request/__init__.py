"""What a picture is: its parameters (each declared once), settings, infotext, and the plan that the engine gets."""
