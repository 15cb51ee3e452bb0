# What people look at: pictures of screens.
libquern_a_SOURCES += ui/picture.h ui/picture.c
