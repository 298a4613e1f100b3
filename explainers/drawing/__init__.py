"""What an impression is made with: pictures to optimise, ways to shake them, goals and priors."""
