# Your own settings; this file is read when a terminal opens.
alias ll='ls -l'
alias k=kubectl
PS1='\[\e[32m\]learner\[\e[0m\]:\[\e[34m\]\w\[\e[0m\]\$ '
